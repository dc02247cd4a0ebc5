"""The one place where the parts meet: a module for each kind of request, and what every request is taken through."""
