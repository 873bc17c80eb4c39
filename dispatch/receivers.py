"""What dispatch does when fleets says that something happened."""
