"""The tutorial's consumer, 2: basic_consume(). python3 consume.py [URL [QUEUE]]"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.queue_declare(queue=queue)


def callback(ch, method, properties, body):
    print(" [x] Received %r" % body, flush=True)


channel.basic_consume(queue=queue,
                      auto_ack=True,
                      on_message_callback=callback)

print(' [*] Waiting for messages. To exit press CTRL+C', flush=True)
try:
    channel.start_consuming()
except KeyboardInterrupt:
    channel.stop_consuming()

connection.close()
