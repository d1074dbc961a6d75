"""Methods: what is done with the training rows to make the student better."""

from .base import Method, MethodContext, Plan

__all__ = ["Method", "MethodContext", "Plan"]
