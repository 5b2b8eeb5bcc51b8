"""The tutorial's consumer, 1: basic_get(). python3 get.py [URL [QUEUE]]

The tutorial calls basic_get() twice, and with auto_ack=True the message of the
first call is lost. Here it is called once.
"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.queue_declare(queue=queue)

method, properties, body = channel.basic_get(queue=queue, auto_ack=True)
print(" [x] Received %r" % body)

connection.close()
