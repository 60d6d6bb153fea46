"""What is behind an IP address: address books, and the chain in which they are asked."""
