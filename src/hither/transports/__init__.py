"""Ways to answer a request without the network, and the network itself."""
