"""Are the weights in a file those of the model?"""
