// Package peers has warren and what it is compared with: each in a file of its
// own, behind a small interface that says what it does, and the load that is
// put on all of them alike.
package peers
