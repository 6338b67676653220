"""The yard that every job of the demo registers with."""

from backyard import Backyard

yard = Backyard("demo")
