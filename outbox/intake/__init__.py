"""The inbound way: webhooks of partners and commands of own clients become events, once each."""
