"""Run ``span-export``."""

from click.testing import CliRunner, Result

from span_export.cli import main


def run(*arguments, code: int = 0) -> Result:
    """Run the command in this process; it must end with this exit code."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result
