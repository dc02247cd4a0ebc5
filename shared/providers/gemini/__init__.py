"""Google's Gemini Developer API: chat, images, raw content, embeddings, transcription and speech."""
