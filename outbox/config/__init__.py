"""From `outbox.yaml` and the environment to one frozen object; all problems at once, secrets never shown."""
