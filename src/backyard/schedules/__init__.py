"""What a yard does by the clock: schedules, declared by programs and made by people."""

from backyard.schedules.face import Schedules

__all__ = ["Schedules"]
