"""The whole story on one machine: twelve steps, real photographs, attacks and what refused them.

Law of this room: it composes the product's own commands as processes and reads what they say; nothing in other rooms
knows of it, and nothing it shows is played. Every process it starts is ended by its id, whatever happens.
"""

from strongroom.demo.results import AttackResult, PhotoResult, Report, Step, StepResult
from strongroom.demo.run import Options, demonstrate, export

__all__ = ["AttackResult", "Options", "PhotoResult", "Report", "Step", "StepResult", "demonstrate", "export"]
