"""The PyTorch side before capture: load a model, bind its inputs, run it eagerly."""
