"""The server of OpenAI's interface: what a request asks for, the batch that answers, the replies, the routes, a page."""
