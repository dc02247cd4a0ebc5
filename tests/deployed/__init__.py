"""A stack that is deployed: into an AWS that this project has not written."""
