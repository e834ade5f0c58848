"""What keeps a broker running for years: logs that machines read, metrics, health, and a doctor.

Law of this room: it looks and counts, it decides nothing; no secret, no platform and no peer becomes a label.
"""
