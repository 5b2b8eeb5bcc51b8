package memory

// Queues counts the queues that exist.
func Queues(b *Broker) int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.queues)
}
