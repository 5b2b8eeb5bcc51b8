"""get.py on a queue that somebody else declares. python3 passive.py [URL [QUEUE]]"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.queue_declare(queue=queue, passive=True)

method, properties, body = channel.basic_get(queue=queue, auto_ack=True)
print(" [x] Received %r" % body)
print("id %s, mode %s, type %s, headers %s" % (
    'given' if properties.message_id else 'missing', properties.delivery_mode, properties.content_type,
    {key: value for key, value in properties.headers.items() if not key.startswith(('_', 'x-', 'traceparent'))}))

connection.close()
