"""Distributions of tasks; `family` says what training asks of one."""
