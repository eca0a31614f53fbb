import sys

print("what was wrong", file=sys.stderr)
sys.exit(5)
