// Package watermill joins warren and Watermill, both ways.
package watermill
