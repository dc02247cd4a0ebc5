"""What /v1/responses does around a call of the gateway: continues conversations, keeps responses, answers later."""
