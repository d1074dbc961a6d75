"""LaTen: locate neurons that speak for an answer, translate the teacher's, and add them to the student's."""

from .method import LaTen

__all__ = ["LaTen"]
