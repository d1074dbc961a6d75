"""Methods: what is done with the training rows to make the student better."""

from .base import Given, LoopMethod, Method, MethodContext, Plan

__all__ = ["Given", "LoopMethod", "Method", "MethodContext", "Plan"]
