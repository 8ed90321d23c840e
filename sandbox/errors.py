"""The one error of the sandbox. It must always name the next step."""


class SandboxError(Exception):
    """Something the sandbox needs is missing or did not start."""

    def __init__(self, problem: str, *, next_step: str) -> None:
        super().__init__(f"{problem}\n  next step: {next_step}")
        self.problem = problem
        self.next_step = next_step
