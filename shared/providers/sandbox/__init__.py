"""The sandbox: a vendor inside the gateway that answers deterministically, without network or key."""
