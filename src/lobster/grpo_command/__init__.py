"""The work behind `lobster grpo`: a run from YAML files and flags."""
