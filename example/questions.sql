-- Which customers spent most in the last 30 days?
SELECT o.username, c.name, count(*) AS orders, sum(o.total_amount) AS spent
FROM ecommerce_orders AS o
LEFT JOIN ecommerce_customers AS c ON c.username = o.username
WHERE o.status <> 'CANCELLED'
    AND o.created_at > (SELECT max(created_at) FROM ecommerce_orders) - INTERVAL '30 days'
GROUP BY o.username, c.name
ORDER BY spent DESC, o.username
LIMIT 5;

-- Which items sold best of all time?
SELECT description, sum(amount) AS sold, sum(total_cost) AS revenue
FROM (
    SELECT description, amount, total_cost
    FROM ecommerce_order_items
    UNION ALL
    SELECT description, amount, total_cost
    FROM ecommerce_order_lines
    WHERE status <> 'CANCELLED'
) AS lines
GROUP BY description
ORDER BY sold DESC, revenue DESC
LIMIT 5;
