"""`python -m rnn_export` is `rnn-export`."""

from .cli import main

main(prog_name="rnn-export")
