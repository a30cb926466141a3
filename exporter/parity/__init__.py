"""Is an exported file as accurate as PyTorch?"""
