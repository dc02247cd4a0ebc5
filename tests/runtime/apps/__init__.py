"""Applications for runtimes in processes of their own, and modules that hold none."""
