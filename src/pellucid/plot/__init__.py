"""Pictures of records; nothing here ever sees a model."""
