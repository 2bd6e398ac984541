"""What a confined run can reach, tried for real."""
