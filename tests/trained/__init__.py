"""Packages that ship trained recurrent models: exported, and run by their own Python on real inputs."""
