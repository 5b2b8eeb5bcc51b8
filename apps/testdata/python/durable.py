"""producer.py with the queue that warren declares. python3 durable.py [URL [QUEUE]]"""
import os
import sys

import pika

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get('MESSAGING_URL', 'amqp://guest:guest@localhost:5672/')
queue = sys.argv[2] if len(sys.argv) > 2 else 'hello'

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

arguments = {'x-queue-type': 'quorum'}
version = connection._impl.server_properties['version']
if int(version.split('.')[0]) >= 4:
    arguments['x-delivery-limit'] = -1
channel.queue_declare(queue=queue, durable=True, arguments=arguments)

channel.basic_publish(exchange='',
                      routing_key=queue,
                      body='durable',
                      properties=pika.BasicProperties(delivery_mode=2, headers={'number': 42, 'nested': {'a': [1]}}))
print(" [x] Sent 'durable'")

connection.close()
