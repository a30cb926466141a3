"""Models of several graphs: an encoder, a decoder's step, a joiner; exported, wired, and verified as a whole.

parts ──> export each ──> wire ──> decode with the files and with PyTorch ──> pipeline.json
nn.Modules    bundles     spec.wiring     spec.decoding, compare
"""
