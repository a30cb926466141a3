"""Compare the weights in a file with the model's, bit for bit."""
