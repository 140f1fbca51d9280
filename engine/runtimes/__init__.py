"""The libraries that execute a network: `opening.open_runtime` picks one of them."""
