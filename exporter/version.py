"""The version of the package, and where its pages are: the one place that says it."""

__version__ = "0.1.0"

REPOSITORY = "https://github.com/rnn-export/rnn-export/blob/main"
