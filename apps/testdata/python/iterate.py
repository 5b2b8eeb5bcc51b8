"""The tutorial's consumer, 3: consume(), a generator. python3 iterate.py [URL [QUEUE]]"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.queue_declare(queue=queue)

for method, properties, body in channel.consume(queue=queue, auto_ack=True, inactivity_timeout=1):

    print(" [x] Received %r" % body)

    if method == None and properties == None and body == None:
        break

connection.close()
