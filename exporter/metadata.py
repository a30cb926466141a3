"""What the keys of a model `metadata_props` begin with: `rnn_export.version`, `.inputs`, `.outputs`, `.states`."""

PREFIX = "rnn_export"
