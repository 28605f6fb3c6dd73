"""Vision-language engines behind `zcurate.captioner.chat.Chat`: servers, models in this process, journals of answers."""
