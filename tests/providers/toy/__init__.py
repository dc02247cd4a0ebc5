"""A vendor for tests that is shaped like Amazon Bedrock: signed requests, binary frames, no API key.

The gateway finds it as `shared.providers.toy`, where test_toy_vendor.py puts it; its modules import each other by
relative names, so that they are the same in both packages.
"""
