"""What operations see over HTTP."""
