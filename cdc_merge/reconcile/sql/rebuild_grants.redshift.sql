-- Who may do what with the table, as the owner granted it: https://docs.aws.amazon.com/redshift/latest/dg/r_SVV_RELATION_PRIVILEGES.html
SELECT
    namespace_name, relation_name, NULL,
    CASE identity_type
        WHEN 'public' THEN 'PUBLIC'
        WHEN 'group' THEN 'GROUP ' || quote_ident(identity_name)
        WHEN 'role' THEN 'ROLE ' || quote_ident(identity_name)
        ELSE quote_ident(identity_name)
    END,
    privilege_type, admin_option, TRUE
FROM svv_relation_privileges
WHERE namespace_name = {{ schema }}
    AND relation_name = {{ name }}
    AND identity_name <> current_user
