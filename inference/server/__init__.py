"""The server of OpenAI's interface: what a request asks for, the batch that answers, replies, routes, a page."""
