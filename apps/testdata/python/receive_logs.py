"""The tutorial's subscriber 5. python3 receive_logs.py URL EXCHANGE KEY... It only
looks whether the exchange is there."""
import sys

import pika

url, exchange, *keys = sys.argv[1:]

connection = pika.BlockingConnection(pika.URLParameters(url))
channel = connection.channel()

channel.exchange_declare(exchange=exchange, passive=True)
queue_name = channel.queue_declare(queue='', exclusive=True).method.queue
for key in keys:
    channel.queue_bind(exchange=exchange, queue=queue_name, routing_key=key)


def callback(ch, method, properties, body):
    print(" [x] %r:%r" % (method.routing_key, body), flush=True)


channel.basic_consume(queue=queue_name, on_message_callback=callback, auto_ack=True)
print(' [*] Waiting for logs. To exit press CTRL+C', flush=True)
try:
    channel.start_consuming()
except KeyboardInterrupt:
    channel.stop_consuming()

connection.close()
