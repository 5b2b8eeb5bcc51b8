package rabbitmqtest

import "testing"

// TestCluster: the nodes are one broker, and one that was killed comes back
// into it.
func TestCluster(t *testing.T) {
	t.Parallel()
	c := NewCluster(t, 2)
	addUser(t, c.Nodes[0], "on-the-first")
	wantUser(t, c.Nodes[1], "on-the-first")
	name, err := c.Nodes[1].Eval("node()")
	if err != nil || c.Node(name) != c.Nodes[1] {
		t.Errorf("Node(%s) is not the second: %v", name, err)
	}
	c.Nodes[1].Kill()
	if err := c.Nodes[1].StartAgain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.AwaitMembers(t.Context()); err != nil {
		t.Error(err)
	}
}
