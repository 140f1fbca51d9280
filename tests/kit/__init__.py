"""What tests share: made videos, pictures, models, machines, browsers."""
