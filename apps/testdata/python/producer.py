"""The tutorial's producer: python3 producer.py [URL [QUEUE [TEXT...]]]"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.queue_declare(queue=queue)
# channel.queue_declare(queue='hello', passive=False, durable=False, exclusive=False, auto_delete=False)

for msg in sys.argv[3:] or ['Hello World!']:
    channel.basic_publish(exchange='',
                          routing_key=queue,
                          body=msg)
    print(f" [x] Sent '{msg}'")

connection.close()
