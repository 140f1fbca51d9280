"""Networks: trunks, the dense detector, window classifiers by name (`registry.build_network`)."""
