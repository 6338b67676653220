"""What is wrong with a deployment, and what to do about it."""

from __future__ import annotations

from backyard.doctor.examine import CHECKS, Check, diagnose, quick_facts, thorough_facts
from backyard.doctor.finding import Finding, Severity

__all__ = ["CHECKS", "Check", "Finding", "Severity", "diagnose", "quick_facts", "thorough_facts"]
